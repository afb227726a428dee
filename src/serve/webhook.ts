import { lengthText } from '../amounts.ts';
import type { Ms } from '../model.ts';
import type { Due } from '../store/alerts.ts';
import { ALERT_KINDS, type AlertKind } from './alert-rules.ts';

/** Forms of message: a JSON document of ours, or the one that Slack's incoming webhooks take. */
export type Receiver = 'webhook' | 'slack';

const TIMEOUT_MS = 10_000;
const MOST_LINES = 20;

/**
 * Posts what is due to one address. Resolves to null when it was taken (2xx), else to what went wrong in words that
 * hold nothing of the address; never rejects.
 */
export async function post(
  receiver: Receiver,
  url: string,
  due: readonly Due[],
  nowMs: Ms,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'logkeep' },
      body: JSON.stringify(receiver === 'slack' ? slackMessage(due) : documentOf(due, nowMs)),
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    await response.body?.cancel();
    return response.ok ? null : `it answered ${response.status}`;
  } catch (error) {
    return reasonOf(error);
  }
}

/** The document that a generic webhook is sent. */
function documentOf(due: readonly Due[], nowMs: Ms): unknown {
  return {
    version: 1,
    sent_at: new Date(nowMs).toISOString(),
    alerts: due.map(({ stream, kind, sentence, sinceMs, endedMs, sends }) => ({
      status: endedMs === null ? 'firing' : 'resolved',
      kind,
      ...ALERT_KINDS[kind as AlertKind],
      stream,
      since: new Date(sinceMs).toISOString(),
      ended_at: endedMs === null ? null : new Date(endedMs).toISOString(),
      sentence,
      times_sent: sends + (endedMs === null ? 1 : 0),
    })),
  };
}

/** The message that Slack is sent. */
export function slackMessage(due: readonly Due[]): { readonly text: string } {
  const lines = due.slice(0, MOST_LINES).map(({ stream, kind, sentence, sinceMs, endedMs, sends }) => {
    if (endedMs !== null) {
      return `:white_check_mark: *${kind}* of ${mild(stream)} is over after ${lengthText(Math.max(0, endedMs - sinceMs))}`;
    }
    const { severity, remedy } = ALERT_KINDS[kind as AlertKind];
    const again = sends === 0 ? '' : ` (told ${sends + 1} times)`;
    return `${severity === 'critical' ? ':rotating_light:' : ':warning:'} *${kind}*${again}: ${mild(sentence)}. To do: ${mild(remedy)}.`;
  });
  const more = due.length - lines.length;
  return { text: [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n') };
}

/** Text as Slack shows it to the letter: an API's error must not call a channel or set a link. */
function mild(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** A code, never a message: that of fetch may quote the address. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS} ms`;
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && /^[A-Z_]+$/.test(code) ? code : 'the request failed';
}
