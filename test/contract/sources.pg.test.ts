import { toyStand } from '../toy/stand.ts';
import { datadogStand, qstashStand } from './sandbox-stand.ts';
import { sourceContract } from './source.ts';

sourceContract('qstash', qstashStand);
sourceContract('datadog v1', (clock) => datadogStand('v1', clock));
sourceContract('datadog v2', (clock) => datadogStand('v2', clock));
sourceContract('toy', toyStand);
