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

/** Whether an entry may be shown by both: false only where a filter of both keeps their entries apart for certain. */
export function mayOverlap(a: Scope, b: Scope): boolean {
  const keepsApart = ([name, values]: [string, readonly string[]]): boolean => {
    const others = b.filters[name];
    if (others === undefined || a.manyValued?.includes(name)) return false;
    return !values.some((value) => others.includes(value));
  };
  return a.account === b.account && !Object.entries(a.filters).some(keepsApart);
}
