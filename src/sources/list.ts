import { datadog } from './datadog/source.ts';
import { qstash } from './qstash/source.ts';
import type { Source } from './source.ts';

/** Every source there is. */
export const SOURCES: readonly Source[] = [qstash, datadog];
