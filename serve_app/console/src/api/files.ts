export function isArchive(name: string): boolean {
  return name.toLowerCase().endsWith('.zip');
}

/** What a file is called below the folder that was dropped or picked. */
export function pathOf(file: File): string {
  const { path } = file as File & { path?: string };
  return (path ?? '') || file.webkitRelativePath || file.name;
}
