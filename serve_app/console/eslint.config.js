import a11y from 'eslint-plugin-jsx-a11y';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

const WORDS = 'Words are in words.en.po and words.de.po: words("id").';

export default tseslint.config(
  { ignores: ['dist', 'dist.part', 'node_modules', 'src/api/schema.d.ts', 'eslint.config.js', 'lingui.config.ts'] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  a11y.flatConfigs.strict,
  hooks.configs.flat['recommended-latest'],
  { languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } } },
  {
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'no-restricted-syntax': [
        'error',
        { selector: 'JSXText[value=/[A-Za-z]{2}/]', message: WORDS },
        { selector: 'JSXExpressionContainer > Literal[value=/[A-Za-z]{2}/]', message: WORDS },
        {
          selector:
            'JSXAttribute[name.name=/^(label|title|placeholder|alt|description|aria-label|message)$/] > Literal[value=/[A-Za-z]/]',
          message: WORDS,
        },
      ],
    },
  },
);
