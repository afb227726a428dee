/** A small sabotage, kept as `<name>.patch` beside this file, and the tests of which one at least must notice it. */
export interface Mutant {
  readonly name: string;
  /** What the sabotage is, in a few words. */
  readonly what: string;
  /** Test files, the quick ones first: the rest are left out once one has turned red. */
  readonly tests: readonly string[];
  /** Of slow files, only the tests whose names hold this. */
  readonly only?: string;
}

const I = (file: string) => `test/invariants/${file}.pg.test.ts`;

export const MUTANTS: readonly Mutant[] = [
  { name: 'no-overlap', what: 'nothing is read again', tests: ['test/sync/plan.test.ts', I('i1-late')] },
  {
    name: 'lead-planned-again',
    what: 'what lies before the asked time is read again while what is owed is in hand',
    tests: ['test/sync/plan.test.ts', I('i8-lead')],
  },
  { name: 'no-ripe-reread', what: 'a large overlap is not read again', tests: ['test/sync/plan.test.ts'] },
  {
    name: 'cursor-before-rows',
    what: 'the cursor is committed before its rows',
    only: 'qstash',
    tests: ['test/property/pump.pg.test.ts'],
  },
  { name: 'no-fence', what: 'the checkpoint takes any fence', tests: [I('i9-lease')] },
  { name: 'no-renewal', what: 'a lease is never renewed', tests: [I('i9-renewal')] },
  {
    name: 'no-split',
    what: 'a walk that expiry outruns goes on',
    tests: ['test/sync/outrun.test.ts'],
  },
  {
    name: 'batch-awaited',
    what: 'no page is asked for while a batch is stored',
    tests: ['test/sync/ahead.pg.test.ts'],
  },
  { name: 'live-lease-taken', what: 'a lease that holds is taken over', tests: [I('i9-lease')] },
  {
    name: 'lost-commit-repeated',
    what: 'a COMMIT whose answer was lost is not looked up',
    tests: [I('i2-batch')],
    only: 'COMMIT whose answer is lost is counted once',
  },
  {
    name: 'status-ignored',
    what: "v1's `status` is not looked at",
    tests: ['test/sources/datadog/client.test.ts', I('i6-partial')],
  },
  {
    name: 'place-not-checked',
    what: "a page's first log is not looked at",
    tests: ['test/sources/datadog/client.test.ts', I('i3-cursor')],
  },
  {
    name: 'to-date-off-by-one',
    what: "QStash's `toDate` is a ms early",
    tests: ['test/sources/qstash/client.test.ts'],
  },
  {
    name: 'short-page-ends',
    what: 'a short page is taken for the last',
    tests: ['test/sources/qstash/client.test.ts', 'test/sources/qstash/source.test.ts'],
  },
  {
    name: 'end-believed-by-last-page',
    what: 'an empty end is believed by the last page alone',
    tests: ['test/crash/lost-cursor.pg.test.ts'],
  },
  {
    name: 'claim-beyond-retention',
    what: 'what the API no longer shows is claimed',
    tests: [I('i8-coverage')],
  },
  { name: 'expired-is-covered', what: 'expired time counts as covered', tests: [I('i8-coverage')] },
  { name: 'claim-by-local-clock', what: 'claims go by the local clock', tests: [I('i8-coverage')] },
  {
    name: 'settle-ignored',
    what: 'claims go up to now',
    tests: ['test/sync/claim.test.ts', I('i8-coverage')],
  },
  {
    name: 'claim-before-chain-ends',
    what: 'a window is claimed with its first batch',
    tests: ['test/sync/claim.test.ts'],
  },
  {
    name: 'settled-though-new',
    what: 'a window settles although a sweep found something new in it',
    tests: [I('i8-settled'), 'test/sync/sweep.pg.test.ts'],
  },
  {
    name: 'settled-before-horizon',
    what: 'what was read before the horizon by the clock of the API settles',
    tests: [I('i8-settled')],
  },
  {
    name: 'audit-trusts-quarantine',
    what: 'an audit does not look for what cannot become a row',
    tests: ['test/sync/audit.pg.test.ts'],
  },
  { name: 'twins-dropped', what: 'twins go away instead of to quarantine', tests: [I('i5-counts')] },
  {
    name: 'identity-by-raw-id',
    what: 'a log is known by its raw id',
    tests: ['test/sources/datadog/normalise.test.ts', I('i4-again')],
  },
  {
    name: 'hash-of-redacted',
    what: 'a request is known by what redaction left of it',
    tests: ['test/sources/qstash/normalise.test.ts', I('i11-secrets')],
  },
  {
    name: 'numbers-through-double',
    what: 'numbers go through a double',
    tests: ['test/json.test.ts', 'test/sources/datadog/normalise.test.ts'],
  },
  {
    name: 'quick-keys-twice',
    what: 'a key that repeats is not noticed by the quick reader',
    tests: ['test/tape.test.ts', 'test/sources/quick.test.ts'],
  },
  {
    name: 'quick-shows-hidden',
    what: 'the quick reader redacts no header',
    tests: ['test/sources/quick.test.ts', I('i11-secrets')],
  },
  {
    name: 'quick-request-of-another',
    what: "what was sent is taken from a message's first entry, whatever the others say",
    tests: ['test/sources/qstash/normalise.test.ts', 'test/sources/quick.test.ts'],
  },
  {
    name: 'known-batch-given-up',
    what: 'a batch taken to be new that holds a stored entry is not merged after all',
    tests: ['test/store/known.pg.test.ts'],
  },
  {
    name: 'waiting-row-of-another',
    what: 'a row that waited is made of the entry that was read last',
    tests: ['test/traps/shared-memory.test.ts', I('i7-rebuild')],
  },
  {
    name: 'some-known-forgotten',
    what: 'a batch of which some is stored is taken for known',
    tests: ['test/store/known.pg.test.ts'],
  },
  {
    name: 'twins-of-known-forgotten',
    what: 'whether twins clash is not looked at where their key is stored',
    tests: [I('i5-counts')],
  },
  {
    name: 'turn-not-awaited',
    what: 'a batch does not wait for the one before it',
    tests: [I('i2-batch'), 'test/sync/run.pg.test.ts', 'test/property/pump.pg.test.ts'],
  },
];
