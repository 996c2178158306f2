/**
 * Which local tables to merge when there are too many. Rewriting a large table for a few new entries would cost the
 * whole repository again and again; so the smallest tables are merged first, and a table joins them only when they
 * together are as large as it is. Every entry is then rewritten a number of times that grows with the logarithm of the
 * whole, and a large table only when the rest has caught up with it.
 *
 * @param counts entries of each table
 * @returns the numbers of the tables to merge into one, so that at most `tablesMax` are left; none when they fit
 */
export function planMerge(counts: readonly number[], { tablesMax }: { readonly tablesMax: number }): number[] {
  if (counts.length <= tablesMax) return [];
  const bySize = counts.map((_, table) => table).toSorted((a, b) => counts[b]! - counts[a]!);
  let behind = bySize.slice(tablesMax).reduce((sum, table) => sum + counts[table]!, 0);
  let from = tablesMax - 1;
  // The smallest suffix whose first table is no larger than all after it; else the smallest suffix that is enough.
  for (let at = from; at >= 0; at--) {
    const size = counts[bySize[at]!]!;
    if (size <= behind) {
      from = at;
      break;
    }
    behind += size;
  }
  return bySize.slice(from);
}
