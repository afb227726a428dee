import { expect, test } from 'vitest';
import { createDatabase, createMigratedDatabase, startPrivateServer, withClient } from './postgres.ts';

test('every caller gets an empty database of its own, in UTF8', async () => {
  const [one, other] = await Promise.all([createDatabase(), createDatabase()]);
  expect(one.url).not.toBe(other.url);
  await withClient(one.url, (client) => client.query('create table only_here ()'));
  const seen = await withClient(other.url, (client) =>
    client.query("select to_regclass('only_here') as found, current_setting('server_encoding') as encoding"),
  );
  expect(seen.rows).toEqual([{ found: null, encoding: 'UTF8' }]);
  await Promise.all([one.drop(), other.drop()]);
});

test('databases that are asked for migrated, even at once, have the tables and share nothing', async () => {
  const databases = await Promise.all([1, 2, 3].map(createMigratedDatabase));
  const [one, ...others] = databases;
  await withClient(one?.url ?? '', (client) => client.query('create table logkeep.only_here ()'));
  for (const { url } of others) {
    const { rows } = await withClient(url, (client) =>
      client.query(
        "select to_regclass('logkeep.stream') is null as bare, to_regclass('logkeep.only_here') as found",
      ),
    );
    expect(rows).toEqual([{ bare: false, found: null }]);
  }
  await Promise.all(databases.map((database) => database.drop()));
});

test('a private server keeps what was committed, and its port, through an immediate restart', async () => {
  const server = await startPrivateServer();
  try {
    await withClient(server.url, (client) => client.query('create table kept as select 7 as n'));
    await server.restart('immediate');
    const { rows } = await withClient(server.url, (client) => client.query('select n from kept'));
    expect(rows).toEqual([{ n: 7 }]);
  } finally {
    await server.stop();
  }
});
