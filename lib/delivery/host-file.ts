import type { Host } from '../model/host';
import { hostFileName, hostFileStem, hostFileText, parseHostFile } from '../model/host-file';
import { sharedReport } from '../report/report';
import type { StackFile } from './stack-files';

/**
 * The declaration of a host, and where its packets go.
 *
 * @param form - the canonical form of the host
 */
export function hostFiles(host: Host, form: string): StackFile[] {
  const name = hostFileName(host.path);
  const text = hostFileText(host);
  return [
    { name, text },
    // Made from the text of the file, so that the report has nothing that the file has not.
    { name: `${hostFileStem(host.path)}.md`, text: sharedReport(host, form, () => parseHostFile(text, name)) },
  ];
}
