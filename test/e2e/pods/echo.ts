/**
 * A member for tests, run in a pod: says which pod answers. Its faults are asked for over HTTP.
 *
 *   /ready          the readiness probe
 *   /make-unready   the probe fails from now on; requests are answered still
 *   /make-ready     it succeeds again
 */
import { createServer } from 'node:http';

const PORT = 8080;
/** How long a pod that is being stopped goes on: the last node's kube-proxy may not have heard of the move yet. */
const LINGER_MS = 4_000;

const answer = JSON.stringify({ uid: process.env['POD_UID'], pod: process.env['POD_NAME'] });
let isReady = true;
let isStopping = false;

const server = createServer((request, response) => {
  switch (request.url ?? '') {
    case '/make-ready':
      isReady = true;
      break;
    case '/make-unready':
      isReady = false;
      break;
    case '/ready':
      response.statusCode = isReady ? 200 : 503;
      break;
    default:
  }
  // Whoever keeps a connection opens a new one, which leads to the new active.
  if (isStopping) response.setHeader('connection', 'close');
  response.end(answer);
});
server.keepAliveTimeout = 120_000;
server.listen(PORT);

process.once('SIGTERM', () => {
  isStopping = true;
  setTimeout(() => server.close(() => process.exit(0)), LINGER_MS);
});
