// Takes messages, and drops those of a producer whose term is over: one of a higher term was here before them.
// REDIS_URL says where, CONSUMER_STATE is a file that outlives this process.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);
const { REDIS_URL, CONSUMER_STATE: file } = process.env;
/** The last message, and each producer's highest term. */
const state = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { last: '0', highest: {} };

function take({ producer, term, text }) {
  const highest = state.highest[producer] ?? 0;
  if (Number(term) < highest) return console.error(`dropped: term ${term} is over, ${producer} has term ${highest}`);
  state.highest[producer] = Number(term);
  console.log(`${producer}, term ${term}: ${text}`);
}

for (;;) {
  const read = ['XREAD', 'COUNT', '100', 'BLOCK', '1000', 'STREAMS', 'jobs', state.last];
  const { stdout } = await run('redis-cli', ['-e', '--json', '-u', REDIS_URL, ...read]);
  for (const [id, fields] of JSON.parse(stdout)?.jobs ?? []) {
    take(Object.fromEntries(fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1]]] : []))));
    state.last = id;
    // As a whole, and not forgotten: a consumer that begins again must drop what it would have dropped.
    writeFileSync(`${file}.new`, JSON.stringify(state));
    renameSync(`${file}.new`, file);
  }
}
