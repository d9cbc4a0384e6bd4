// Parses every query of a folder with Microsoft's own parser, and holds each column that it names to the columns of the table.
//
//   node parse.js <folder with node_modules> <folder with queries and columns.json>
const fs = require('fs');
const path = require('path');
const vm = require('vm');

const [modules, folder] = process.argv.slice(2);
const service = path.join(modules, 'node_modules/@kusto/language-service-next');
for (const file of ['bridge.js', 'Kusto.Language.Bridge.js']) {
  vm.runInThisContext(fs.readFileSync(path.join(service, file), 'utf8'), { filename: file });
}
const K = Kusto.Language;
const S = K.Symbols;

const types = { int: 'Int', long: 'Long', string: 'String', datetime: 'DateTime', dynamic: 'Dynamic' };
const columns = JSON.parse(fs.readFileSync(path.join(folder, 'columns.json'), 'utf8')).filter((c) => c.name !== 'time');
const symbols = [new S.ColumnSymbol('TimeGenerated', S.ScalarTypes.DateTime)].concat(columns.map((c) => new S.ColumnSymbol(c.name, S.ScalarTypes[types[c.type]])));
const table = new S.TableSymbol.$ctor4('Portcullis_CL', symbols);
const globals = K.GlobalState.Default.WithDatabase(new S.DatabaseSymbol.ctor('workspace', [table]));

function wrong(text) {
  const code = K.KustoCode.ParseAndAnalyze(text, globals);
  const found = code.GetDiagnostics();
  const out = [];
  for (let i = 0; i < found.Count; i++) {
    const d = found.getItem(i);
    if (d.Severity === 'Error' || d.Severity === 'Warning') out.push(`${d.Code} ${d.Message} at "${text.substr(d.Start, 40)}"`);
  }
  return out;
}

// What it has to refuse, so that it cannot pass by seeing nothing.
for (const bad of ['Portcullis_CL | where activityname == 1', 'Portcullis_CL | wherre true', 'Portcullis | take 1', 'Portcullis_CL | where nosuch(time_dt)']) {
  if (wrong(bad).length === 0) {
    console.error(`the parser finds nothing wrong with ${bad}`);
    process.exit(1);
  }
}
let failed = false;
const files = fs.readdirSync(folder).filter((f) => f.endsWith('.kql'));
for (const file of files) {
  for (const message of wrong(fs.readFileSync(path.join(folder, file), 'utf8'))) {
    failed = true;
    console.error(`${file}: ${message}`);
  }
}
if (files.length < 9) {
  console.error(`only ${files.length} queries`);
  failed = true;
}
console.log(`${files.length} queries parsed`);
process.exit(failed ? 1 : 0);
