/** One thing looked at: all is well, something to know, or something to mend (`check` then exits 1). */
export type Finding =
  | { readonly level: 'ok'; readonly subject: string; readonly found: string; readonly remedy: null }
  | {
      readonly level: 'note' | 'trouble';
      /** `database`, `settings` or a stream's name. */
      readonly subject: string;
      readonly found: string;
      readonly remedy: string;
    };

/** All is well with `subject`. */
export function fine(subject: string, found: string): Finding {
  return { level: 'ok', subject, found, remedy: null };
}

/** Something of `subject` that may be right as it is, and what to do if it is not. */
export function note(subject: string, found: string, remedy: string): Finding {
  return { level: 'note', subject, found, remedy };
}

/** Something of `subject` that must be mended, and how. */
export function trouble(subject: string, found: string, remedy: string): Finding {
  return { level: 'trouble', subject, found, remedy };
}
