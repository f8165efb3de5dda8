import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TerraformStack } from 'cdktf';
import { addCustomSynthesis } from 'cdktf/lib/synthesize/synthesizer';
import type { Construct } from 'constructs';
import type { Host } from '../model/host';
import { HOST_FILES, hostFileName, hostFileText, parseHostFile } from '../model/host-file';
import { routingReport } from '../report/report';

/**
 * Makes each synth write the declaration of a host, and where its packets go, beside the Terraform configuration of its
 * stack.
 */
export function writeHostFile(construct: Construct, host: () => Host): void {
  addCustomSynthesis(construct, {
    onSynthesize: ({ outdir, manifest }) => {
      const { workingDirectory } = manifest.forStack(TerraformStack.of(construct));
      const directory = join(outdir, workingDirectory, HOST_FILES);
      mkdirSync(directory, { recursive: true });
      const name = hostFileName(construct.node.path);
      const text = hostFileText(host());
      writeFileSync(join(directory, name), text);
      // Made from the text of the file, so that the report has nothing that the file has not.
      writeFileSync(join(directory, name.replace(/\.json$/, '.md')), routingReport(parseHostFile(text, name)));
    },
  });
}
