/**
 * Requests left, by the header that tells it; null where there is none. What cannot be read is 0, not "no bound", and
 * of several values (`5, 5`, as proxies write it) the least counts.
 */
export function remainingOf(header: string | string[] | undefined): number | null {
  if (header === undefined) return null;
  const told = [header].flat().flatMap((value) => value.split(','));
  return Math.min(...told.map((value) => headerNumber(value) ?? 0));
}

/** A header's number from 0 on; null where there is none, or it cannot be read. */
export function headerNumber(header: string | string[] | undefined): number | null {
  const found = typeof header === 'string' && header.trim() !== '' ? Number(header) : Number.NaN;
  return Number.isFinite(found) && found >= 0 ? found : null;
}
