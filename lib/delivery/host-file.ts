import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TerraformStack } from 'cdktf';
import { addCustomSynthesis } from 'cdktf/lib/synthesize/synthesizer';
import type { Construct } from 'constructs';
import type { Host } from '../model/host';
import { HOST_FILES, hostFileName, hostFileText } from '../model/host-file';

/** Has each synth write what is declared for a host, beside the Terraform configuration of its stack. */
export function writeHostFile(construct: Construct, host: () => Host): void {
  addCustomSynthesis(construct, {
    onSynthesize: ({ outdir, manifest }) => {
      const { workingDirectory } = manifest.forStack(TerraformStack.of(construct));
      const directory = join(outdir, workingDirectory, HOST_FILES);
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, hostFileName(construct.node.path)), hostFileText(host()));
    },
  });
}
