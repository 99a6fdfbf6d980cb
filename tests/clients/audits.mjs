// Runs the GraphQL-over-HTTP audits of the graphql-http package against GRAPHQL_URL.
// Prints every audit that is not met, then the counts. Exits 1 when one is an error.
import { auditServer } from 'graphql-http';

const url = process.env.GRAPHQL_URL;
const authorization = `Bearer ${process.env.TOKEN}`;

const fetchFn = (resource, init = {}) =>
  fetch(resource, { ...init, headers: { authorization, ...init.headers } });

const results = await auditServer({ url, fetchFn });
const counts = { ok: 0, notice: 0, warn: 0, error: 0 };
for (const result of results) {
  counts[result.status] += 1;
  if (result.status !== 'ok') {
    console.log(`${result.status} ${result.id} ${result.name}: ${result.reason}`);
    await result.response?.body?.cancel().catch(() => {});
  }
}
const summary = Object.entries(counts).map(([status, count]) => `${count} ${status}`);
console.log(`${results.length} audits: ${summary.join(', ')}`);
process.exit(counts.error === 0 ? 0 : 1);
