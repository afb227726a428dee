import type { App } from '../../src/app.ts';
import { type Audit, type AuditAsk, auditStream } from '../../src/operations/audit.ts';

/** Audits the app's first stream by its keys, all of it, but for what `ask` says. */
export async function auditFirst(app: App, ask: Partial<AuditAsk> = {}): Promise<Audit | null> {
  const [open] = app.streams;
  if (open === undefined) throw new Error('the world has no stream');
  return auditStream(app, open, {
    fromMs: null,
    toMs: null,
    by: 'keys',
    signal: new AbortController().signal,
    onWait: () => {},
    onWindow: () => {},
    ...ask,
  });
}
