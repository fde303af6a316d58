/** Finds the control plane's programs, or builds them, and says where they are. */
import { findBinaries } from '../test/control-plane/binaries.ts';

try {
  console.log((await findBinaries()).source);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
