// The part of the statement an error means, marked in the editor.
import { StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, type DecorationSet } from "@codemirror/view";

/** Marks a range, or takes the mark away. */
export const mark = StateEffect.define<{ from: number; to: number } | null>();

export const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(before, change) {
    // What was wrong is being changed: the mark has done its work.
    let now = change.docChanged ? Decoration.none : before;
    for (const effect of change.effects) {
      if (!effect.is(mark)) continue;
      const range = effect.value;
      const fault = Decoration.mark({ class: "cm-fault" });
      now = range === null ? Decoration.none : Decoration.set(fault.range(range.from, range.to));
    }
    return now;
  },
  provide: (field) => EditorView.decorations.from(field),
});
