import { Argument, Command, CommanderError, Option } from 'commander';
import { isFailure, remedyOf } from '../errors.ts';
import { readVersion } from '../version.ts';
import type { CliContext, CommandName, ExitCode } from './command.ts';
import { COMMANDS, GLOBAL_OPTIONS } from './commands.ts';
import { type CommandDeclaration, misuse, type OptionDeclaration } from './options.ts';

type AnyDeclaration = CommandDeclaration<Readonly<Record<string, unknown>>>;
type AnyOptions = Readonly<Record<string, OptionDeclaration<unknown>>>;
type AnyRun = (options: Readonly<Record<string, unknown>>, context: CliContext) => Promise<ExitCode>;

/** Finds the work of a command; tests give their own. */
export type LoadRun = (name: CommandName) => Promise<AnyRun>;

/**
 * Runs the command that `args` (without node and script) ask for, and gives the exit code. Failures are said on
 * stderr in one line, bugs with their stack; it never throws and never ends the process.
 */
export async function runProgram(
  args: readonly string[],
  context: CliContext,
  load: LoadRun = loadRun,
): Promise<ExitCode> {
  let code: ExitCode = 0;
  const program = createProgram(context, async (name, options) => {
    const run = await load(name);
    code = await run(options, context);
  });
  try {
    if (args.length === 0) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync(asked(args), { from: 'user' });
    return code;
  } catch (error) {
    return report(error, context);
  }
}

/**
 * `help` of a word that is no command is that word, and of two words that are one is its own: Commander would show
 * other help, and not say what is wrong.
 */
function asked(args: readonly string[]): readonly string[] {
  const [first, word, ...more] = args;
  if (first !== 'help' || word === undefined) return args;
  const names = Object.keys(COMMANDS);
  if (word !== 'help' && !names.some((name) => name.split(' ')[0] === word)) return args.slice(1);
  if (more.length === 0) return args;
  if (more.length === 1 && names.includes(`${word} ${more[0]}`)) return [word, ...more, '--help'];
  throw misuse(`help: ${JSON.stringify(more.join(' '))}: expected the name of one command`);
}

type Start = (name: CommandName, options: Readonly<Record<string, unknown>>) => Promise<void>;

function createProgram(context: CliContext, start: Start): Command {
  const program = new Command('logkeep')
    .description(
      'Copies the logs of Upstash QStash and Datadog into your own Postgres: every entry, exactly once.',
    )
    .version(readVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help of a command')
    .addHelpText('after', PROGRAM_HELP);
  adorn(program, context);
  addOptions(program, GLOBAL_OPTIONS, context);
  const groups = new Map<string, Command>();
  for (const [name, declaration] of Object.entries(COMMANDS) as [CommandName, AnyDeclaration][]) {
    const [word = name, inner] = name.split(' ');
    let parent = program;
    if (inner !== undefined) {
      parent =
        groups.get(word) ??
        program.command(word).description('entries that could not become rows: list, show, retry');
      if (!groups.has(word)) adorn(parent, context);
      groups.set(word, parent);
    }
    const command = parent.command(inner ?? word).description(declaration.summary);
    adorn(command, context);
    addOptions(command, declaration.options, context);
    command.addHelpText(
      'after',
      `\nExamples:\n${declaration.examples.map((one) => `  $ ${one}`).join('\n')}${declaration.more === undefined ? '' : `\n\n${declaration.more}`}`,
    );
    command.action(async () => {
      const options = {
        ...valuesOf(command, declaration.options),
        ...valuesOf(program, GLOBAL_OPTIONS as AnyOptions),
      };
      declaration.check?.(options, context.clock.now());
      await start(name, options);
    });
  }
  return program;
}

const PROGRAM_HELP = `
Settings come from the environment alone, or from logkeep.yaml (its streams then replace the environment's):
  QSTASH_TOKEN (QSTASH_URL)                            makes the stream qstash.main
  DD_API_KEY and DD_APP_KEY (DD_SITE, DD_API_URL,
  DD_LOGS_QUERY, DD_LOGS_INDEX)                        makes the stream datadog.main
  DATABASE_URL (DATABASE_URL_DIRECT)                   Postgres; unset: an embedded one in ./.logkeep
  LOGKEEP_DIR, LOGKEEP_LOG_LEVEL                       its folder; how much to log
  LOGKEEP_HOST, LOGKEEP_PORT                           address and port of health and metrics of \`serve\`
  LOGKEEP_ALERT_WEBHOOK, LOGKEEP_ALERT_SLACK           where alerts go

Examples:
  $ logkeep demo                                       see it work without any keys
  $ QSTASH_TOKEN=... logkeep sync                      copy what is not copied yet
  $ logkeep serve                                      keep it complete until stopped
  $ logkeep why                                        how far each stream is, and why
  $ logkeep query "select count(*) from log_entry"     query the copy in SQL
  $ logkeep check                                      what is wrong, and what to do about it

Exit codes: 0 done, 1 failed, or stopped by a signal before it was done (or gaps, differences or problems
found), 2 misused.`;

function adorn(command: Command, context: CliContext): void {
  command
    .exitOverride()
    .helpOption('-h, --help', 'show help')
    .configureHelp({ showGlobalOptions: true, helpWidth: Math.min(context.stdout.columns ?? 100, 120) })
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: (text, write) =>
        write(
          `${text
            .trim()
            .replace(/^error: /, 'logkeep: ')
            .replaceAll(/\s*\n\s*/g, ' ')}; see \`${pathOf(command)} --help\`\n`,
        ),
    });
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function addOptions(command: Command, options: AnyOptions, context: CliContext): void {
  for (const declaration of Object.values(options)) {
    const { flags, help, initial, initialText, parse, many } = declaration;
    const at = flags.split(' ')[0] ?? flags;
    const read = (text: string, before: unknown): unknown => {
      const value = parse?.(text, at, context.clock.now());
      return many === true ? [...(Array.isArray(before) ? before : []), value] : value;
    };
    const fallback = initialText ?? (typeof initial === 'number' ? `${initial}` : null);
    const shown = fallback === null ? '' : ` (default: ${fallback})`;
    if (flags.startsWith('--')) {
      const option = new Option(flags, help + shown);
      command.addOption(parse === undefined ? option : option.argParser(read));
    } else command.addArgument(new Argument(flags, help).argParser(read));
  }
}

function valuesOf(command: Command, options: AnyOptions): Record<string, unknown> {
  const said = command.opts();
  let position = 0;
  return Object.fromEntries(
    Object.entries(options).map(([key, { flags, initial }]) => {
      const value: unknown = flags.startsWith('--')
        ? said[new Option(flags).attributeName()]
        : command.processedArgs[position++];
      return [key, value ?? initial];
    }),
  );
}

async function loadRun(name: CommandName): Promise<AnyRun> {
  const [file = name, inner = 'run'] = name.split(' ');
  const module: Readonly<Record<string, unknown>> = await import(/* @vite-ignore */ `./${file}.ts`);
  return module[inner] as AnyRun;
}

function report(error: unknown, context: CliContext): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (isFailure(error, 'config')) {
    context.stderr.write(`logkeep: ${error.message}\n`);
    return 2;
  }
  if (isFailure(error)) {
    context.stderr.write(`logkeep: ${error.message.replaceAll(/\s*\n\s*/g, ' ')} (${remedyOf(error)})\n`);
    return 1;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  context.stderr.write(`logkeep: this is a bug in logkeep; please report it with these lines\n${stack}\n`);
  return 1;
}
