/** The watches of one kind. */
import type { WatchEvent } from '../../../src/adapters/ports.ts';
import type { KubeObject } from '../../../src/api/objects.ts';
import type { Stored } from './kind.ts';
import { withVersion } from './metadata.ts';
import { selectionOf } from './selectors.ts';
import type { SelectableFields, Selection, SelectionQuery } from './selectors.ts';

/** One write, as watches tell of it. */
export interface Change {
  readonly version: number;
  readonly before: Stored | undefined;
  readonly after: Stored | undefined;
}

export interface Watcher {
  readonly user: string;
  readonly push: (event: WatchEvent<KubeObject>) => void;
  readonly end: (error?: unknown) => void;
  readonly endsAtWallMs: number;
  /** Changes up to this version are behind it. */
  seenUpTo: number;
  isWarnedOfEnd: boolean;
}

/** Watches that select the same: what a change is to one of them, it is to all. */
interface Audience {
  readonly selects: Selection;
  /** It asks for nothing but names and labels: whoever keeps its labels is selected as before. */
  readonly isByLabels: boolean;
  readonly watchers: Set<Watcher>;
}

type Event = WatchEvent<KubeObject>;

/** The last state of what is gone from a selection, with the version of its going: deleted, or merely not selected any more. */
function departed({ before, version }: Change): KubeObject {
  if (before === undefined) throw new Error('what was not there cannot go');
  return withVersion(before, version);
}

/** Undefined: the change is none to whoever selects this. */
export function eventOf(change: Change, selects: Selection, isByLabels = false): Event | undefined {
  const { before, after } = change;
  const is = after !== undefined && selects(after);
  const isAsBefore = isByLabels && after !== undefined && before?.metadata.labels === after.metadata.labels;
  const was = before !== undefined && (isAsBefore ? is : selects(before));
  if (is) return Object.freeze({ type: was ? 'MODIFIED' : 'ADDED', object: after });
  return was ? Object.freeze({ type: 'DELETED', object: departed(change) }) : undefined;
}

export class Audiences {
  readonly #fields: SelectableFields;
  /** By the text of what they select. */
  readonly #audiences = new Map<string, Audience>();

  constructor(fields: SelectableFields) {
    this.#fields = fields;
  }

  /** @throws ApiError 400 */
  add(query: SelectionQuery, watcher: Watcher): { readonly selects: Selection; readonly remove: () => void } {
    const { namespace, labelSelector = '', fieldSelector = '' } = query;
    const key = [namespace ?? '*', labelSelector, fieldSelector].join(' | ');
    const audience = this.#audiences.get(key) ?? {
      selects: selectionOf(query, this.#fields),
      isByLabels: fieldSelector === '' || /^metadata\.name=[^,]*$/.test(fieldSelector),
      watchers: new Set(),
    };
    this.#audiences.set(key, audience);
    audience.watchers.add(watcher);
    const remove = (): void => {
      audience.watchers.delete(watcher);
      if (audience.watchers.size === 0 && this.#audiences.get(key) === audience) this.#audiences.delete(key);
    };
    return { selects: audience.selects, remove };
  }

  /** One test for each selection, and one push for each watch that selects it. */
  tell(change: Change): void {
    for (const { selects, isByLabels, watchers } of this.#audiences.values()) {
      const event = eventOf(change, selects, isByLabels);
      if (event === undefined) continue;
      for (const watcher of watchers) {
        // It was opened while this change was on its way, and has had it already.
        if (watcher.seenUpTo >= change.version) continue;
        watcher.seenUpTo = change.version;
        watcher.push(event);
      }
    }
  }

  /** All watches there are now. */
  all(): Watcher[] {
    return [...this.#audiences.values()].flatMap(({ watchers }) => [...watchers]);
  }
}
