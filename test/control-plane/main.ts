/** A control plane with hollow nodes for people to try things on: `node test/control-plane/main.ts [--nodes 3]`. */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { startControlPlane } from './control-plane.ts';
import { startHollowNodes } from './hollow-nodes.ts';

const { values } = parseArgs({ options: { nodes: { type: 'string', default: '3' } } });

const controlPlane = await startControlPlane();
const nodes = await startHollowNodes(controlPlane.kubeconfigPath, { count: Number(values.nodes) });
console.log(`${controlPlane.binaries.source}
Ready after ${(controlPlane.startupMs / 1000).toFixed(1)} s, with ${nodes.names.length} hollow nodes: ${nodes.names.join(', ')}

  export KUBECONFIG=${controlPlane.kubeconfigPath}
  kubectl get nodes

Logs, the audit log and etcd's data are in ${controlPlane.directory}. Ctrl-C ends and removes everything.`);

await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
nodes.stop();
await controlPlane.stop();
