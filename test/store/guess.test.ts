import { expect, test } from 'vitest';
import { KnownGuess } from '../../src/store/guess.ts';

test('a run asks at first, then expects of a batch what the last one was', () => {
  const guess = new KnownGuess();
  expect(guess.next).toBe(null);
  guess.learn(10, 10);
  expect(guess.next).toBe('none');
  guess.learn(6, 10);
  expect(guess.next).toBe('some');
  guess.learn(4, 10);
  expect(guess.next).toBe(null);
});

test('a run that was surprised never takes a batch to be new without asking', () => {
  const guess = new KnownGuess();
  guess.learn(10, 10);
  guess.surprise();
  guess.learn(10, 10);
  expect(guess.next).toBe(null);
  guess.learn(6, 10);
  expect(guess.next).toBe('some');
});

test('a batch without an entry that could be stored teaches nothing', () => {
  const guess = new KnownGuess();
  guess.learn(6, 10);
  guess.learn(0, 0);
  expect(guess.next).toBe('some');
});
