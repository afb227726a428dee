import { expect, test } from 'vitest';
import { auditText } from '../../src/cli/audit-view.ts';
import { LogkeepError } from '../../src/errors.ts';
import type { Audit } from '../../src/operations/audit.ts';

const SPAN = { from: Date.UTC(2026, 4, 20), to: Date.UTC(2026, 4, 21) };

test('the name of the stream stands once before the error that ended an audit', () => {
  const audit: Audit = {
    span: SPAN,
    by: 'keys',
    outcome: 'failed',
    error: new LogkeepError('auth', 'qstash.main: the API answered 401'),
    settled: [],
    unsettled: [],
    holes: [],
    expired: [],
    oversize: [],
    recounted: [],
    days: [],
    differences: [],
    otherFilters: false,
    meter: { requests: 1, retries: 0, waits: 0, waitMs: 0, bytes: 0 },
  };
  expect(auditText('qstash.main', audit).talk).toMatch(
    /^qstash\.main: not proven to the end: the API answered 401 \(/m,
  );
});
