import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A message of a client to Postgres: type letter and, for queries, the SQL. */
export interface ClientMessage {
  /** `Q` query, `P` parse, `d` copy data, `c` copy done, ... */
  readonly type: string;
  readonly text: string;
}

/**
 * What becomes of a message. `cut`: the connection breaks and Postgres never sees it. `lose`: Postgres does it, and
 * the connection breaks when its answer is there, unseen. `abandon`: Postgres gets it, and the connection breaks while
 * it is still at work.
 */
export type Verdict = 'pass' | 'cut' | 'lose' | 'abandon';

/** A wire to Postgres that can be cut at any message. */
export interface Tamper {
  /** `url` by way of this wire. */
  readonly url: string;
  /** Connections that are open now. */
  open(): number;
  close(): Promise<void>;
}

/** A TCP proxy before the Postgres of `url` (no TLS) that asks `judge` about every message of the clients. */
export async function startTamper(
  url: string,
  judge: (message: ClientMessage) => Verdict | Promise<Verdict>,
): Promise<Tamper> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    let losing = false;
    upstream.on('data', (data: Buffer) => {
      if (!losing) client.write(data);
      else if (endsReady(data)) client.destroy();
    });
    let started = false;
    let held = Buffer.alloc(0);
    let turn = Promise.resolve();
    client.on('data', (data: Buffer) => {
      turn = turn.then(async () => {
        held = Buffer.concat([held, data]);
        for (;;) {
          const header = started ? 1 : 0;
          if (held.length < header + 4) return;
          const length = header + held.readInt32BE(header);
          if (held.length < length) return;
          const message = held.subarray(0, length);
          held = held.subarray(length);
          if (!started) {
            started = true;
            upstream.write(message);
            continue;
          }
          const type = String.fromCharCode(message[0] as number);
          const text =
            type === 'Q'
              ? textAt(message, 5)
              : type === 'P'
                ? textAt(message, message.indexOf(0, 5) + 1)
                : '';
          const verdict = await judge({ type, text });
          if (verdict === 'cut') {
            client.destroy();
            return;
          }
          losing ||= verdict === 'lose';
          upstream.write(message, () => {
            if (verdict === 'abandon') client.destroy();
          });
        }
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const through = new URL(url);
  through.hostname = '127.0.0.1';
  through.port = String((server.address() as AddressInfo).port);
  return {
    url: through.href,
    open: () => sockets.size / 2,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function textAt(message: Buffer, start: number): string {
  return message.toString('utf8', start, message.indexOf(0, start));
}

/** Whether the server waits for more: ReadyForQuery, or CopyInResponse. */
function endsReady(data: Buffer): boolean {
  if (data[0] === 0x47) return true;
  const tail = data.subarray(-6);
  return tail.length === 6 && tail[0] === 0x5a && tail.readInt32BE(1) === 5;
}
