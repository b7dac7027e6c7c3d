// Expressions of policies, made once and kept, and what they find in a text. Pure.
import { compileMaskPattern, type MaskPattern } from '@sluice/runtime/mask-pattern';
import { typingBytes } from './detect.ts';
import type { Finding } from './finding.ts';
import type { FindMore } from './text.ts';

const maxKept = 256;
const kept = new Map<string, MaskPattern>();

/** Throws `MaskPatternError` for what no policy can say. */
export function patternsOf(expressions: readonly string[]): MaskPattern[] {
  return expressions.map((expression) => {
    let pattern = kept.get(expression);
    if (pattern === undefined) {
      pattern = compileMaskPattern(expression);
      if (kept.size >= maxKept) kept.clear();
      kept.set(expression, pattern);
    }
    return pattern;
  });
}

/** What patterns find; not united. */
export function matchesOf(patterns: readonly MaskPattern[], text: Buffer): Finding[] {
  return patterns.flatMap((pattern) => pattern.find(text).map((match): Finding => ({ ...match, by: 'pattern' })));
}

/** The same in a text that comes in pieces. */
export function findPatterns(patterns: readonly MaskPattern[]): FindMore {
  return (text, { isEnd, isTyped }) => {
    const open = isEnd ? text.length : Math.min(text.length, ...patterns.map((pattern) => pattern.open(text)));
    const isHeld = !isTyped || text.length - open >= typingBytes;
    return { findings: matchesOf(patterns, text), decided: isHeld ? open : text.length };
  };
}
