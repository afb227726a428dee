import { describe, expect, it } from 'vitest';
import { createPace } from '../../src/sync/pace.ts';

function paceAt() {
  let now = 0;
  const pace = createPace(() => now);
  return {
    pace,
    at: (ms: number) => {
      now = ms;
      return pace;
    },
  };
}

describe('what a run is at', () => {
  it('nothing is known before two batches of a window are stored', () => {
    const { pace, at } = paceAt();
    expect(pace.now()).toEqual({ waitMs: null, toGoMs: null });
    at(1000).stored('1', 0.1);
    expect(pace.now().toGoMs).toBeNull();
  });

  it('the rest of a window takes as long as the part between its first batch and its latest says', () => {
    const { pace, at } = paceAt();
    at(10_000).stored('1', 0.1);
    at(20_000).stored('1', 0.3);
    expect(pace.now().toGoMs).toBeCloseTo(35_000);
    expect(at(25_000).now().toGoMs).toBeCloseTo(30_000);
    expect(at(90_000).now().toGoMs).toBe(0);
  });

  it('another window begins anew, and a share that is not known says nothing', () => {
    const { pace, at } = paceAt();
    at(10_000).stored('1', 0.1);
    at(20_000).stored('1', 0.3);
    at(21_000).stored('2', 0.5);
    expect(pace.now().toGoMs).toBeNull();
    at(22_000).stored('2', null);
    expect(pace.now().toGoMs).toBeNull();
  });

  it('a wait for quota is told until it is over', () => {
    const { pace, at } = paceAt();
    pace.waits(60_000);
    expect(at(20_000).now().waitMs).toBe(40_000);
    expect(at(60_000).now().waitMs).toBeNull();
  });
});
