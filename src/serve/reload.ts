import type { Config } from '../config.ts';
import { LogkeepError } from '../errors.ts';

/** Throws `config` where settings differ that only a restart can change: the database, and where health is served. */
export function refuseRestartOnly(old: Config, next: Config): void {
  const moved = [
    ['database_url', old.database.url, next.database.url],
    ['database_url_direct', old.database.directUrl, next.database.directUrl],
    ['data_dir', old.database.dir, next.database.dir],
    ['host', old.host, next.host],
    ['port', old.port, next.port],
  ].flatMap(([name, was, is]) => (was === is ? [] : [name]));
  if (moved.length === 0) return;
  throw new LogkeepError(
    'config',
    `${moved.join(', ')}: changed: expected as it was, or a restart of \`logkeep serve\``,
  );
}
