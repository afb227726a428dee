import type { Scope } from './source.ts';

/** Whether every entry that `inner` shows is shown by `outer` too: two such streams store it twice. */
export function includesScope(outer: Scope, inner: Scope): boolean {
  return (
    outer.account === inner.account &&
    Object.entries(outer.filters).every(([name, allowed]) => {
      const narrower = inner.filters[name];
      return narrower?.every((value) => allowed.includes(value)) ?? false;
    })
  );
}
