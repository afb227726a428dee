import { LOG_LEVELS, type LogLevel } from '../config/log-level.ts';
import { type Log, openLog } from '../log.ts';
import type { Output } from './command.ts';
import { printable, withoutName } from './table.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';

const NAMES: Readonly<Record<Level, string>> = {
  debug: 'debug',
  info: 'info',
  warn: 'warning',
  error: 'error',
};
/** What tells processes and rows apart, which is for machines. */
const UNSAID: ReadonlySet<string> = new Set(['stream', 'error', 'holder', 'credential', 'window']);
const MOST_CHARACTERS = 500;

/** A command's log on stderr at `level`: JSON lines with `json`, else lines among the talk for people. */
export function openCommandLog(level: string, json: boolean, stderr: Pick<Output, 'write'>): Log {
  return json ? openLog(level) : openTextLog(level, stderr);
}

/** A log for people, a line each: level, stream, message, error, and the other fields in brackets; controls escaped. */
export function openTextLog(level: string, stderr: Pick<Output, 'write'>): Log {
  const most = LOG_LEVELS.indexOf(level as LogLevel);
  const at = (own: Level): Log[Level] =>
    LOG_LEVELS.indexOf(own) > most
      ? () => {}
      : (fields, message) => void stderr.write(`${lineOf(own, fields, message)}\n`);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function lineOf(level: Level, fields: Readonly<Record<string, unknown>>, message: string): string {
  const { stream, error } = fields;
  const name = typeof stream === 'string' ? stream : null;
  const said = [
    NAMES[level],
    name,
    withoutName(message, name),
    error === undefined ? null : withoutName(valueText(error).replace(/^\w*Error: /, ''), name),
  ];
  const rest = Object.entries(fields)
    .filter(([key, value]) => !UNSAID.has(key) && value !== null && value !== undefined)
    .map(([key, value]) => `${key} ${valueText(value)}`);
  return printable(
    `${said.filter((part) => part !== null).join(': ')}${rest.length === 0 ? '' : ` (${rest.join(', ')})`}`,
  );
}

function valueText(value: unknown): string {
  const text = typeof value === 'object' ? (JSON.stringify(value) ?? '') : String(value);
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS - 3)}...` : text;
}
