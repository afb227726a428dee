import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * `pass`; `drop`: connections break and new ones are refused; `stall`: nothing gets through; `split`: byte by byte;
 * `forget`: nothing gets through any more on what is connected now, which nobody is told; new connections pass.
 */
export type Mode = 'pass' | 'drop' | 'stall' | 'split' | 'forget';

/** A TCP proxy that misbehaves on request. */
export interface Wire {
  /** `url` by way of this wire. */
  readonly url: string;
  set(mode: Mode): void;
  close(): Promise<void>;
}

/** A wire to the host and port of `url`, passing everything at first. */
export async function startWire(url: string): Promise<Wire> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const forgotten = new Set<Socket>();
  let mode: Mode = 'pass';
  const server = createServer((client) => {
    if (mode === 'drop') {
      client.destroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      let turn: Promise<void> = Promise.resolve();
      from.on('data', (data: Buffer) => {
        if (forgotten.has(from)) return;
        turn = turn.then(async () => {
          while (mode === 'stall' && !to.destroyed) await new Promise((resolve) => setTimeout(resolve, 20));
          if (mode !== 'split') {
            to.write(data);
            return;
          }
          for (let i = 0; i < data.length; i += 7) {
            to.write(data.subarray(i, i + 7));
            await new Promise((resolve) => setImmediate(resolve));
          }
        });
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const route = new URL(url);
  route.hostname = '127.0.0.1';
  route.port = String((server.address() as AddressInfo).port);
  return {
    url: route.href,
    set(next) {
      mode = next;
      if (next === 'forget') for (const socket of sockets) forgotten.add(socket);
      if (next === 'drop') for (const socket of sockets) socket.destroy();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
