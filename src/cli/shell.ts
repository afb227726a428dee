/** `value` as one word of a POSIX shell. */
export function shellQuoted(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}

/** An `export NAME='value'` line for each variable. */
export function exportLines(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${shellQuoted(value)}\n`)
    .join('');
}

/** The command that opens the database at `url`, whose password it holds, in psql. */
export function psqlLine(url: string): string {
  return `psql ${shellQuoted(url)}`;
}
