import { existsSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { type Document, LineCounter, parseDocument, visit, type YAMLError } from 'yaml';
import { LogkeepError } from '../errors.ts';
import { createProblems } from './problems.ts';

/** A settings file as it was read: plain values, variables not yet replaced. */
export interface SettingsFile {
  /** As errors name it: relative to the current folder if it lies within, else in full. */
  readonly name: string;
  /** Folder that its relative paths start from. */
  readonly dir: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/**
 * Reads `path`, or `logkeep.yaml` in `cwd` if `path` is null and there is one (else null). Throws LogkeepError
 * `config` if it cannot be read or is no YAML mapping, with line and column of every mistake.
 */
export function readSettingsFile(cwd: string, path: string | null): SettingsFile | null {
  const full = resolve(cwd, path ?? 'logkeep.yaml');
  if (path === null && !existsSync(full)) {
    if (!existsSync(resolve(cwd, 'logkeep.yml'))) return null;
    throw new LogkeepError(
      'config',
      'logkeep.yml: expected the name logkeep.yaml; rename it, or pass --config logkeep.yml',
    );
  }
  const near = relative(cwd, full);
  const name = near === '' || near.startsWith('..') ? full : near;
  return { name, dir: dirname(full), content: parse(readText(full, name), name) };
}

/** Whether `value` is a YAML mapping. */
export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'this user may not read it',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8 text',
};

function readText(full: string, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(full));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const reason = UNREADABLE[code] ?? `it cannot be read (${code})`;
    throw new LogkeepError(
      'config',
      `${name}: ${reason}: expected a settings file in YAML, such as --config logkeep.yaml`,
      {
        cause: error,
      },
    );
  }
}

function parse(text: string, name: string): Readonly<Record<string, unknown>> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = createProblems();
  const placeOf = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}: line ${line}, column ${col}`;
  };
  for (const error of [...document.errors, ...document.warnings]) {
    problems.add(placeOf(error.pos[0]), yamlTrouble(error));
  }
  for (const offset of danglingAliases(document)) {
    // Its name may be a secret that was not quoted.
    const trouble =
      'unresolved alias: expected an anchor before it, or quotes around text that begins with *';
    problems.add(placeOf(offset), trouble);
  }
  problems.throwIfAny();
  const content = follow(() => document.toJS({ maxAliasCount: 100 }), name);
  if (content === null || content === undefined) return {};
  if (isMapping(content)) return content;
  throw new LogkeepError(
    'config',
    `${name}: expected a mapping with settings such as streams and database_url`,
  );
}

/** Where aliases stand that stand for nothing. */
function danglingAliases(document: Document): readonly number[] {
  const found: number[] = [];
  visit(document, {
    Alias(_, node) {
      if (node.resolve(document) === undefined) found.push(node.range?.[0] ?? 0);
    },
  });
  return found;
}

function follow(read: () => unknown, name: string): unknown {
  try {
    return read();
  } catch (error) {
    throw new LogkeepError(
      'config',
      `${name}: its aliases expand to more than settings need: expected fewer, or the values themselves`,
      { cause: error },
    );
  }
}

/** The parser's words without the piece of the file that it may quote, which may hold a secret. */
function yamlTrouble({ code, message }: YAMLError): string {
  if (code === 'MULTIPLE_DOCS') {
    return 'expected one document: remove the line --- and what should not count';
  }
  const words = message.split(/[:\n]/)[0] ?? message;
  return `${words.charAt(0).toLowerCase()}${words.slice(1)}`;
}
