/**
 * How a bundle gets at Node's own modules. An `import` of one reads all that it exports, and `node:http` then loads the client
 * of WebSockets and fetch, which it otherwise would only when asked for: 6 MB in each process that just listens.
 */
const IMPORT = /^import \{ ([^}]+) \} from (["']node:[a-z/]+["']);$/gm;

/** The code with each import of named things turned into one that reads only those. */
export const withLazyBuiltins = (code: string): string =>
  code.replaceAll(IMPORT, (_statement, names: string, module: string) => {
    const taken = names.replaceAll(' as ', ': ');
    return `const { ${taken} } = process.getBuiltinModule(${module});`;
  });
