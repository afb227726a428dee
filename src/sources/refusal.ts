import { type ErrorKind, LogkeepError } from '../errors.ts';

const QUOTED = 200;
/** Statuses that say that the API is not at this address. */
const ELSEWHERE: ReadonlySet<number> = new Set([404, 405, 410]);
/** Statuses that say that something is wrong with what was asked for. */
const UNFIT: ReadonlySet<number> = new Set([400, 413, 414, 422]);

/** What a source adds to the meaning of a refused request, by its error codes. */
export type Sense = 'timeout' | 'busy' | null;

/** An answer other than 200, and what is known about its request. */
export interface Refusal {
  readonly label: string;
  readonly status: number;
  readonly text: string;
  readonly location: string | null;
  readonly hasCursor: boolean;
  readonly sense: Sense;
  /** What may be amiss at a 401 or 403. */
  readonly authHint: string;
  readonly secrets: readonly string[];
}

/** The error that an answer other than 200 means; quotes what the server said, without our credentials. */
export function refusalError(refusal: Refusal): LogkeepError {
  const { status, label, location, secrets } = refusal;
  const said = serverSays(refusal.text, secrets);
  const kind = kindOf(refusal);
  const answer = `${label}: the API answered ${status}${said === '' ? '' : `: "${said}"`}`;
  // What to do about a kind of failure is said behind the message, by whoever shows it.
  const expected: Partial<Record<ErrorKind, string>> = {
    auth: `: ${refusal.authHint}`,
    cursor: ': the cursor is lost',
    timeout: ': the query took too long for it',
    request:
      status >= 300 && status < 400
        ? `: redirects (here to ${quote(location ?? 'nowhere', secrets)}) are not followed, since they would carry the credentials: expected the address of the API itself`
        : ELSEWHERE.has(status)
          ? ': expected the address of the API'
          : UNFIT.has(status)
            ? ': expected filters that it accepts'
            : ': expected 200',
  };
  return new LogkeepError(kind, answer + (expected[kind] ?? ''), { status });
}

function kindOf({ status, sense, hasCursor }: Refusal): ErrorKind {
  if (sense === 'timeout') return 'timeout';
  if (sense === 'busy' || status === 429) return 'quota';
  if (status === 401 || status === 403) return 'auth';
  if (status === 400) return hasCursor ? 'cursor' : 'request';
  if (status === 408 || status === 425 || status >= 500) return 'unavailable';
  return status >= 300 ? 'request' : 'protocol';
}

/** What an error body says in its own words, of all shapes that the two APIs have: at most 200 characters of one line. */
function serverSays(text: string, secrets: readonly string[]): string {
  let said = text;
  try {
    const body: unknown = JSON.parse(text);
    said = errorTexts(body).join('; ') || text;
  } catch {
    said = text.replace(/<(style|script)\b.*?<\/\1>|<[^>]*>/gis, ' ');
  }
  return quote(said, secrets);
}

/** The texts of `{"error": text}`, `{"error": {"message": text}}` and `{"errors": [text]}`. */
export function errorTexts(body: unknown): readonly string[] {
  if (typeof body !== 'object' || body === null) return [];
  const { error, errors } = body as { error?: unknown; errors?: unknown };
  const one = typeof error === 'object' && error !== null ? (error as { message?: unknown }).message : error;
  return [one, ...(Array.isArray(errors) ? errors : [])].filter((item) => typeof item === 'string');
}

/** A foreign text as it may stand in a message: one line of 200 characters, without `secrets`. */
export function quote(text: string, secrets: readonly string[] = []): string {
  const line = withoutSecrets(text, secrets)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must go
    .replace(/[\s\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
    .trim();
  return line.length > QUOTED ? `${line.slice(0, QUOTED - 1)}…` : line;
}

/** A text without our credentials, however they are written, also where `quote` cut one off. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret === '') continue;
    const forms = [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      Buffer.from(secret).toString('base64'),
    ];
    for (const form of forms) {
      clean = clean.replaceAll(form, '[credential]');
      for (let kept = form.length - 1; kept > 2; kept--)
        clean = clean.replaceAll(`${form.slice(0, kept)}…`, '[credential]…');
    }
  }
  return clean;
}
