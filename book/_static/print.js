// On paper the book is light, whatever the reader's theme is.
(() => {
  const page = document.documentElement;
  let theme = null;
  const toPaper = () => {
    theme ??= page.dataset.theme;
    page.dataset.theme = "light";
  };
  const back = () => {
    page.dataset.theme = theme ?? page.dataset.theme;
    theme = null;
  };
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", back);
  matchMedia("print").addEventListener("change", (event) => (event.matches ? toPaper() : back()));
})();
