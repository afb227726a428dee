/** Lines of one list that the other lacks, or holds more or less often: how many, and the first of each kind. */
export function differ(stored: readonly string[], wanted: readonly string[]): readonly string[] {
  const count = new Map<string, number>();
  for (const line of wanted) count.set(line, (count.get(line) ?? 0) - 1);
  for (const line of stored) count.set(line, (count.get(line) ?? 0) + 1);
  const tell = (what: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : [`${lines.length} ${what}, such as ${lines[0]}`];
  const lines = [...count.keys()];
  return [
    ...tell(
      'missing',
      lines.filter((line) => (count.get(line) ?? 0) < 0),
    ),
    ...tell(
      'too often',
      lines.filter((line) => (count.get(line) ?? 0) > 0),
    ),
  ];
}
