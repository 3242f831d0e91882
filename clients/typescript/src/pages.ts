import type { CallOptions } from "./calls.js";

/**
 * All pages of a list, one call for each:
 *
 *     for await (const page of pages(client.backup.listSnapshots, { graphId: "graph1" }))
 *       for (const snapshot of page.snapshots) console.log(snapshot.backupId);
 */
export async function* pages<Request extends { pageToken?: string }, Page extends { nextPageToken: string }>(
  list: (request: Request, options?: CallOptions) => Promise<Page>,
  request: Request,
  options?: CallOptions,
): AsyncGenerator<Page, void, undefined> {
  let pageToken = request.pageToken;
  do {
    const page: Page = await list(pageToken === undefined ? request : { ...request, pageToken }, options);
    yield page;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
