import { isArchive, pathOf } from '../../api/files';

interface Choice {
  files: File[];
  /** Empty, or larger than one picture may be; an archive may be larger, since it is sent in parts. */
  left: File[];
  /** Bytes of the files. */
  size: number;
}

/** What is uploaded of the files that were chosen, each path once. */
export function sorted(chosen: File[], partBytes: number): Choice {
  const files = new Map<string, File>();
  const left: File[] = [];
  for (const file of chosen) {
    const path = pathOf(file);
    if (file.size > 0 && (file.size <= partBytes || isArchive(path))) files.set(path, file);
    else if (!file.name.startsWith('.')) left.push(file);
  }
  const list = [...files.values()];
  return { files: list, left, size: list.reduce((sum, file) => sum + file.size, 0) };
}
