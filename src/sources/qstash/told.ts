import { canonicalJson } from '../../json.ts';
import type { OddField } from '../fields.ts';

/** A field as text to be hashed: by type, size and original value, so that no two different ones read alike. */
export function told(value: unknown, odd: OddField | undefined): string {
  return odd === undefined ? toldValue(value) : `o${sized(odd.texts.map(canonicalJson).join())}`;
}

function toldValue(value: unknown): string {
  // UTF-8 makes all lone surrogates one: their JSON tells them apart.
  if (typeof value === 'string')
    return value.isWellFormed() ? `s${sized(value)}` : `w${sized(JSON.stringify(value))}`;
  if (typeof value === 'number') return `n${value};`;
  if (typeof value !== 'object' || value === null) return `${value};`;
  let content = '';
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) content += toldValue(value[index]);
    return `a${value.length}:${content}`;
  }
  const fields = value as Record<string, unknown>;
  const names = Object.keys(fields).sort();
  for (const name of names) content += toldValue(name) + toldValue(fields[name]);
  return `f${names.length}:${content}`;
}

function sized(text: string): string {
  return `${text.length}:${text}`;
}
