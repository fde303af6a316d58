/** The agent's process, beside a workload in fencing mode `Agent`: reads the environment, and ends when all is let go of. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMachineClock } from './agent/clock.ts';
import { LeaseHttp } from './agent/lease-http.ts';
import { createAgentLogger } from './agent/log.ts';
import { workloadProcesses } from './agent/processes.ts';
import { requestDeadlineMs, startProgram } from './agent/program.ts';
import { SettingsError, parseSettings } from './agent/settings.ts';
import type { AgentSettings } from './agent/settings.ts';

/** A wrong call of the program, as in other command-line tools. */
const EXIT_USAGE = 2;

async function run(settings: AgentSettings): Promise<void> {
  const clock = createMachineClock();
  const logger = createAgentLogger(
    (line) => void process.stdout.write(line),
    () => clock.wallMs(),
  );
  const { apiHost: host, apiPort: port, accountDir, namespace, lease: name } = settings;
  const deadlineMs = requestDeadlineMs(settings);
  const monotonicMs = (): number => clock.monotonicMs();
  const ca = readFileSync(join(accountDir, 'ca.crt'), 'utf8');
  const watchMs = settings.timing.leaseDurationMs;
  const source = new LeaseHttp({ host, port, accountDir, namespace, name, deadlineMs, watchMs, monotonicMs }, ca);
  const onExit = (): void => {
    logger.info('nothing is held any more: the agent ends');
    process.exit(0);
  };
  const kill = (pid: number): void => void process.kill(pid, 'SIGKILL');
  const { agent, server } = await startProgram({
    settings,
    source,
    clock,
    logger,
    kill,
    processes: workloadProcesses,
    onExit,
  });
  const stop = (): void => agent.hear({ kind: 'terminate' });
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  logger.info('watching', { lease: `${namespace}/${name}`, holder: settings.holder, port: server.port });
}

try {
  await run(parseSettings(process.env));
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(`singleton-agent: ${text}\n`);
  process.exit(error instanceof SettingsError ? EXIT_USAGE : 1);
}
