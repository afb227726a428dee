import { readdir, readFile } from 'node:fs/promises';

/** Clock ticks of a second, as Linux tells them to programs. */
const TICKS = 100;

/**
 * User and system time, in ms, that all processes of the server have used so far, those that have ended included;
 * `backend` is the process of any of its connections. Null where there is no /proc.
 */
export async function postgresCpuMs(backend: number): Promise<number | null> {
  const parent = await statFields(String(backend));
  if (parent === null) return null;
  const pid = Number(parent[1]);
  let ticks = 0;
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = await statFields(name);
    if (fields === null) continue;
    // After the name in brackets: state, parent, ... and from the 12th on user and system time, own and of ended children.
    const [own = 0, ownSystem = 0, ended = 0, endedSystem = 0] = fields.slice(11, 15).map(Number);
    if (Number(name) === pid) ticks += own + ownSystem + ended + endedSystem;
    else if (Number(fields[1]) === pid) ticks += own + ownSystem;
  }
  return (ticks / TICKS) * 1000;
}

async function statFields(pid: string): Promise<readonly string[] | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return text === null ? null : text.slice(text.lastIndexOf(')') + 2).split(' ');
}
