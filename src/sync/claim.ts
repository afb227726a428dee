import type { Ms, Span } from '../model.ts';
import { floorSecond } from './spans.ts';

/** What is known of a chain when a batch is committed. */
export interface ChainState {
  readonly window: Span;
  /** Ascending: where the committed part ends; null: nothing committed yet. */
  readonly doneTo: Ms | null;
  /** Ascending: all before this was given; null: order not known before the end. */
  readonly readTo: Ms | null;
  /** The API's Date at the chain's first answer. */
  readonly chainAt: Ms;
  readonly settleMs: number;
  /** True when the chain has ended. */
  readonly ended: boolean;
}

/**
 * What may join the coverage: never later than the API's clock at the chain's start less the settle delay (what
 * came after was not yet sure to be visible), never before the end of a chain that is not in ascending order.
 */
export function claimOf(chain: ChainState): Span | null {
  const from = Math.max(chain.window.from, chain.doneTo ?? chain.window.from);
  const read = chain.ended ? chain.window.to : chain.readTo;
  if (read === null) return null;
  const to = Math.min(read, chain.window.to, floorSecond(chain.chainAt - chain.settleMs));
  return to > from ? { from, to } : null;
}
