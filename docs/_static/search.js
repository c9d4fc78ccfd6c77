// The search page: Pagefind's own box, which begins with the words that the box beside the pages sent (?q=...).
if (location.protocol === "file:") {
  document.querySelector("#search").textContent =
    "The search needs a web server: python3 -m http.server --directory build/book";
} else {
  const box = new PagefindUI({ element: "#search", showImages: false, resetStyles: false, autofocus: true });
  const words = new URLSearchParams(location.search).get("q");
  if (words) box.triggerSearch(words);
}
