const SOURCE_TAG = 'source:';

/** The first tag that names a source. */
export function sourceOf(tags: readonly string[] | null): string | null {
  if (tags === null) return null;
  for (const tag of tags) {
    if (tag.startsWith(SOURCE_TAG)) return tag.slice(SOURCE_TAG.length);
  }
  return null;
}
