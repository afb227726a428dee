import { z } from 'zod';
import type { Source } from '../source.ts';
import { apiUrl, oneOf, oneOrMany, optional, secret, text } from '../values.ts';

/** What `state` may ask for: the states of entries (the service spells CANCELED, its page CANCELLED), and one group. */
const STATE_FILTERS = [
  'CREATED',
  'ACTIVE',
  'RETRY',
  'ERROR',
  'DELIVERED',
  'FAILED',
  'CANCEL_REQUESTED',
  'CANCELED',
  'CANCELLED',
  'IN_PROGRESS',
] as const;

/** A QStash stream's own settings; all filters must match (AND), of the values of a list any (OR). */
export const settings = z.strictObject({
  url: apiUrl('https://qstash.upstash.io')
    .prefault('https://qstash.upstash.io')
    .describe(
      'Address of the API, which is the region: https://qstash.upstash.io (EU) or https://qstash-us-east-1.upstash.io (US). Regions have tokens and logs of their own.',
    ),
  token: secret(`a QStash token, such as '\${QSTASH_TOKEN}'`).describe(
    'QStash token of that region; a read-only token is enough.',
  ),
  message_id: optional(text('a message id such as msg_26hZCxZ...')).describe('Only this message.'),
  state: optional(oneOf(STATE_FILTERS)).describe(
    'Only entries of this state; IN_PROGRESS stands for ACTIVE, RETRY and ERROR. The API spells CANCELED, its documentation CANCELLED.',
  ),
  destination: anyOf('a destination URL such as https://example.com/hook').describe(
    "Only messages to this destination URL (the API's filter `url`).",
  ),
  url_group: anyOf('the name of a URL group').describe(
    "Only messages of this URL group (the API's filter `topicName`).",
  ),
  schedule_id: anyOf('a schedule id such as scd_...').describe('Only runs of this schedule.'),
  queue_name: anyOf('the name of a queue').describe('Only messages of this queue.'),
  label: anyOf('a label').describe('Only messages with this label.'),
  host: anyOf('a host name such as example.com').describe('Only destinations on this host.'),
  path: anyOf('a path such as /hook').describe('Only destinations with this path.'),
  caller_ip: anyOf('an IP address').describe('Only messages published from this address.'),
  flow_control_key: anyOf('a flow control key').describe('Only messages with this flow control key.'),
});

/** The settings as `open` gets them: an absent filter is null. */
export type QstashSettings = z.output<typeof settings>;

/** Settings that are masked wherever they are shown. */
export const secrets: Source['secrets'] = ['token'];

/** The longest that a plan keeps logs. */
export const REACH_MS = 14 * 86_400_000;

/** Free plans keep logs for 3 days; 100 entries are the most that the API promises for one request. */
export const defaults: Source['defaults'] = {
  retention: '3d',
  settle: '30s',
  overlap: '15m',
  sweep_after: '6h',
  page_size: 100,
};

/** Variables that declare a stream without a file. */
export const environment: Source['environment'] = {
  stream: 'qstash.main',
  variables: [
    {
      name: 'QSTASH_TOKEN',
      setting: 'token',
      required: true,
      help: 'QStash token; a read-only one is enough',
    },
    { name: 'QSTASH_URL', setting: 'url', required: false, help: 'address of the region, or of the sandbox' },
  ],
};

function anyOf(what: string) {
  return optional(oneOrMany(what, 'a list, any of which may match'));
}
