// Tables of what the API lists in pages.
import { useInfiniteQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Loaded } from "./ui";

interface Listed<T> {
  items: T[] | null;
  next_cursor?: string;
}

/** Table shows a list, page by page. */
export function Table<T>({ what, queryKey, page, id, columns, none }: {
  what: string;
  queryKey: unknown[];
  page: (cursor: string | undefined) => Promise<Listed<T>>;
  id: (item: T) => string;
  /** columns are what each is called, and what it shows; one without a name is of buttons. */
  columns: [string, (item: T) => ReactNode][];
  none: ReactNode;
}) {
  const list = useInfiniteQuery({
    queryKey,
    initialPageParam: "",
    queryFn: ({ pageParam }) => page(pageParam || undefined),
    getNextPageParam: (last) => last.next_cursor,
  });
  return (
    <Loaded of={list} what={what}>
      {(d) => {
        const items = d.pages.flatMap((p) => p.items ?? []);
        if (items.length === 0) return <>{none}</>;
        return (
          <>
            <div className="scroll" tabIndex={0} role="region" aria-label={what}>
              <table>
                <thead>
                  <tr>
                    {columns.map(([name], i) => (
                      <th scope="col" key={i}>
                        {name || <span className="unseen">What can be done</span>}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {items.map((item) => (
                    <tr key={id(item)}>
                      {columns.map(([name, show], i) => (
                        <td key={i} className={name ? undefined : "last"}>
                          {show(item)}
                        </td>
                      ))}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {list.hasNextPage && (
              <button className="more" onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
                Show more
              </button>
            )}
          </>
        );
      }}
    </Loaded>
  );
}
