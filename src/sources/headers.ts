/** A header as it came; an array where it came more than once. */
type Header = string | string[] | undefined;

/**
 * Requests left, by the header that tells it; null where there is none. What cannot be read is 0, not "no bound", and
 * of several values (`5, 5`, as proxies write it) the least counts.
 */
export function remainingOf(header: Header): number | null {
  return header === undefined ? null : Math.min(...valuesOf(header).map((value) => numberOf(value) ?? 0));
}

/** The least of a header's numbers from 0 on; null where there is none, or none can be read. */
export function leastOf(header: Header): number | null {
  const numbers = numbersOf(header);
  return numbers.length === 0 ? null : Math.min(...numbers);
}

/** The greatest of a header's numbers from 0 on; null where there is none, or none can be read. */
export function greatestOf(header: Header): number | null {
  const numbers = numbersOf(header);
  return numbers.length === 0 ? null : Math.max(...numbers);
}

/** All values of a header, however often it came, and joined by commas or not; the comma of a date joins nothing. */
export function valuesOf(header: Header): readonly string[] {
  return [header ?? []].flat().flatMap((value) => value.split(/,(?!\s*\d\d[ -][a-z]{3}[ -])/i));
}

/** What is written as a number from 0 on. */
export function numberOf(value: string): number | null {
  const number = value.trim() === '' ? Number.NaN : Number(value);
  return Number.isFinite(number) && number >= 0 ? number : null;
}

function numbersOf(header: Header): readonly number[] {
  return valuesOf(header)
    .map(numberOf)
    .filter((number) => number !== null);
}
