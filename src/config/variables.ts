import type { Problems } from './problems.ts';

/** A value of the file with its variables replaced. */
export interface Expanded {
  readonly value: unknown;
  /** Names of the variables in it; errors then show the text as it stands in the file, not what came from outside. */
  readonly variables: readonly string[];
}

/**
 * Replaces `${NAME}` in a text or in a list of texts by what `env` has; `$${` stands for `${` itself.
 * A variable that is unset or empty is a problem of `place`.
 */
export function expandVariables(
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
  place: string,
  problems: Problems,
): Expanded {
  const variables = new Set<string>();
  const replaceIn = (text: string): string =>
    text.replaceAll(
      /\$\$\{|\$\{([^}]*)(\}?)/g,
      (found, name: string | undefined, end: string | undefined) => {
        if (found === '$${') return '${';
        const trouble = problemOf(name ?? '', end ?? '', env);
        if (trouble === null) {
          variables.add(name ?? '');
          return env[name ?? ''] ?? '';
        }
        problems.add(place, trouble);
        return '';
      },
    );
  const walk = (part: unknown): unknown => {
    if (typeof part === 'string') return replaceIn(part);
    return Array.isArray(part) ? part.map(walk) : part;
  };
  return { value: walk(value), variables: [...variables] };
}

function problemOf(
  name: string,
  end: string,
  env: Readonly<Record<string, string | undefined>>,
): string | null {
  if (end === '' || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    return `expected \${NAME} with letters, digits and _ only; write $\${ for a plain \${`;
  }
  if (env[name] === undefined)
    return `\${${name}}: expected the environment variable ${name}, which is not set`;
  return env[name].trim() === ''
    ? `\${${name}}: expected a value in the environment variable ${name}, which is empty`
    : null;
}
