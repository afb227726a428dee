import pg from 'pg';
import { lacksCreate } from '../store/grants.ts';
import { grantCreate } from '../store/remedies.ts';
import { type Finding, note, trouble } from './finding.ts';

const SCHEMA = 'logkeep';
const JOB_SCHEMA = 'logkeep_job';
const subject = 'database';
/** Tables that rows leave again; all others only gain and change them. */
const LEFT = ['alert', 'process', 'quarantine', 'run', 'sync_window'];
/** What a sync reads and never writes. */
const READ_ONLY = ['migration', 'migration_lock', 'redaction_key'];
const MOST_NAMES = 3;

/** What a role may do with the tables. */
export interface Grants {
  readonly findings: readonly Finding[];
  /** Whether it may read them all, so that looking further makes sense. */
  readonly readable: boolean;
}

interface Standing {
  readonly role: string;
  readonly usage: boolean;
  readonly create: boolean;
  /** Tables and views without the partitions, and what the role lacks of what a sync does with them. */
  readonly tables: readonly Table[];
  readonly functions: boolean;
}

interface Table {
  readonly name: string;
  readonly partitioned: boolean;
  readonly owner: string;
  /** Whether the role is the owner, or has the owner's rights. */
  readonly owned: boolean;
  /** Whether nobody should be given the owner's rights for this. */
  readonly ownerIsSuper: boolean;
  readonly lacks: readonly string[];
}

/**
 * Whether the role of this connection may do what a sync does in a database that has the tables: write them, and make
 * a partition for each new day; and whether that of `migrator` may make the queue's. Each remedy is a statement for
 * whoever may grant it. Throws what the driver throws.
 */
export async function checkGrants(pool: pg.Pool, migrator: pg.Pool): Promise<Grants> {
  const standing = await standingIn(pool, SCHEMA);
  if (standing === null) return { findings: [], readable: true };
  const { usage, tables } = standing;
  const readable = usage && tables.every(({ lacks }) => !lacks.includes('select'));
  const jobs = await standingIn(pool, JOB_SCHEMA);
  const queue = jobs === null || jobs.tables.length === 0 ? await ofNoQueue(migrator) : ofQueue(jobs);
  return { findings: [...ofTables(standing), ...ofPartitions(standing), ...queue], readable };
}

/** Whether the role of this connection may migrate the tables that are there: `pending` lacks. */
export async function checkMigrating(pool: pg.Pool, pending: readonly string[]): Promise<readonly Finding[]> {
  const standing = await standingIn(pool, SCHEMA);
  const foreign = standing?.tables.filter(({ owned }) => !owned) ?? [];
  if (standing === null || foreign.length === 0) return [];
  const owners = listed([...new Set(foreign.map(({ owner }) => owner))]);
  return [
    trouble(
      subject,
      `${standing.role} may not migrate the tables (${pending.join(', ')}): they are owned by ${owners}`,
      `run \`logkeep migrate\` as ${owners}`,
    ),
  ];
}

function ofTables({ role, usage, tables, functions }: Standing): readonly Finding[] {
  const to = pg.escapeIdentifier(role);
  const findings: Finding[] = [];
  if (!usage) {
    const found = `${role} may not look into the schema ${SCHEMA}`;
    findings.push(trouble(subject, found, `grant usage on schema ${SCHEMA} to ${to}`));
  }
  const short = tables.filter(({ lacks }) => lacks.length > 0);
  if (short.length > 0) {
    const lacks = new Set(short.flatMap((table) => table.lacks));
    const deeds = Object.entries(DEEDS).flatMap(([privilege, deed]) => (lacks.has(privilege) ? [deed] : []));
    const some = short.slice(0, MOST_NAMES).map(({ name }) => name);
    const more = short.length - some.length;
    const names = more > 0 ? `${some.join(', ')} and ${more} more` : listed(some);
    findings.push(
      trouble(
        subject,
        `${role} may not ${listed(deeds)} all tables of the schema ${SCHEMA} (not ${names})`,
        `grant select, insert, update, delete on all tables in schema ${SCHEMA} to ${to}`,
      ),
    );
  }
  if (!functions) {
    const found = `${role} may not call the functions of the schema ${SCHEMA}`;
    findings.push(trouble(subject, found, `grant execute on all functions in schema ${SCHEMA} to ${to}`));
  }
  return findings;
}

/** Each day's partition is made by whoever stores the day's first entry, and attached: that takes the parent's owner. */
function ofPartitions({ role, create, tables }: Standing): readonly Finding[] {
  const to = pg.escapeIdentifier(role);
  const found = `${role} may not create the partitions of new days`;
  const findings: Finding[] = [];
  if (!create) {
    const remedy = `grant create on schema ${SCHEMA} to ${to}`;
    findings.push(trouble(subject, `${found}: it may not create in the schema ${SCHEMA}`, remedy));
  }
  const foreign = tables.filter(({ partitioned, owned }) => partitioned && !owned);
  for (const owner of new Set(foreign.map((table) => table.owner))) {
    const theirs = foreign.filter((table) => table.owner === owner);
    const names = theirs.map(({ name }) => name);
    const remedy = theirs.some(({ ownerIsSuper }) => ownerIsSuper)
      ? names.map((name) => `alter table ${SCHEMA}.${name} owner to ${to}`).join('; ')
      : `grant ${pg.escapeIdentifier(owner)} to ${to}`;
    const verb = names.length === 1 ? 'is' : 'are';
    findings.push(trouble(subject, `${found}: ${listed(names)} ${verb} ${owner}'s`, remedy));
  }
  return findings;
}

/** The queue's tables are made by the first `logkeep serve` or `logkeep run`. */
async function ofNoQueue(pool: pg.Pool): Promise<readonly Finding[]> {
  const lacks = await lacksCreate(pool, { schema: JOB_SCHEMA, table: 'version' });
  if (lacks === null) return [];
  const found = `${lacks.role} may not create the schema ${JOB_SCHEMA}, the queue of \`logkeep serve\` and \`logkeep run\``;
  return [note(subject, found, grantCreate(lacks))];
}

function ofQueue(standing: Standing): readonly Finding[] {
  const { role, usage, tables } = standing;
  const to = pg.escapeIdentifier(role);
  const remedies = [
    ...(usage ? [] : [`grant usage on schema ${JOB_SCHEMA} to ${to}`]),
    ...(tables.every(({ lacks }) => lacks.length === 0)
      ? []
      : [`grant select, insert, update, delete on all tables in schema ${JOB_SCHEMA} to ${to}`]),
  ];
  if (remedies.length === 0) return [];
  const found = `${role} may not work on the queue of \`logkeep serve\` and \`logkeep run\` (schema ${JOB_SCHEMA})`;
  return [note(subject, found, remedies.join('; '))];
}

/** What one does with a table, by the privilege that it takes. */
const DEEDS = { select: 'read', insert: 'insert into', update: 'update', delete: 'delete from' };

/** Null where there is no such schema. Asks the catalogue alone, which every role may read. */
async function standingIn(pool: pg.Pool, schema: string): Promise<Standing | null> {
  const { rows } = await pool.query<Standing>(
    `select current_user as role, has_schema_privilege(n.oid, 'usage') as usage, has_schema_privilege(n.oid, 'create') as create,
      coalesce((select bool_and(has_function_privilege(p.oid, 'execute')) from pg_proc p where p.pronamespace = n.oid), true) as functions,
      coalesce((select json_agg(json_build_object('name', c.relname, 'partitioned', c.relkind = 'p',
          'owner', o.rolname, 'owned', pg_has_role(c.relowner, 'usage'), 'ownerIsSuper', o.rolsuper,
          'lacks', array(select w from unnest(case
              when c.relkind = 'v' or n.nspname = $2 and c.relname = any($3) then '{select}'
              when n.nspname = $2 and c.relname <> all($4) then '{select,insert,update}'
              else '{select,insert,update,delete}'::text[] end) w
            where not has_table_privilege(c.oid, w))) order by c.relname)
        from pg_class c join pg_roles o on o.oid = c.relowner
        where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v') and not c.relispartition), '[]') as tables
    from pg_namespace n where n.nspname = $1`,
    [schema, SCHEMA, READ_ONLY, LEFT],
  );
  return rows[0] ?? null;
}

function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
