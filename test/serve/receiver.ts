import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A webhook's address with a secret in its path, and what it was sent. */
export interface Receiver {
  readonly url: string;
  readonly secret: string;
  readonly bodies: unknown[];
  /** What it answers with; null: it hangs up. */
  status: number | null;
  close(): Promise<void>;
}

/** A real HTTP server that takes what is posted to its one path. */
export async function startReceiver(): Promise<Receiver> {
  const secret = 'T000-very-secret-path';
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    request.on('end', () => {
      if (receiver.status === null) {
        request.socket.destroy();
        return;
      }
      const right = request.method === 'POST' && request.url === `/${secret}`;
      if (right && receiver.status < 300) receiver.bodies.push(JSON.parse(text));
      response.writeHead(right ? receiver.status : 404).end('no');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/${secret}`,
    secret,
    bodies: [],
    status: 200,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}
