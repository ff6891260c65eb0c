%%% What stands around the pages of the dashboard: the head, the menu, what the last action has done; and the page to sign in. Pure.
%%%
%%% Called by: hornbeam_dashboard_handler. Calls: hornbeam_dashboard_html, hornbeam_dashboard_page (which pages there are).
-module(hornbeam_dashboard_layout).

-export([page/3, shown/3, sign_in/1, problem/2, done/1]).

-import(hornbeam_dashboard_html, [escape/1]).

%% @doc A whole page. signed_in: whether there is somebody to sign out.
-spec page(module(), hornbeam_dashboard_page:context(), #{signed_in := boolean(), live := pos_integer()}) -> iodata().
page(Page, #{name := Name, path := Path, query := Query, csrf := Csrf} = Context, #{signed_in := SignedIn, live := Live}) ->
    Title = [Page:title(), " - ", escape(Name)],
    %% Without JavaScript the page is loaded again now and then.
    Head = ["<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>",
            "<script src=\"/assets/uplot/uPlot.iife.min.js\" defer></script><script src=\"/assets/dashboard.js\" defer></script>"],
    document(Title, Head, [" data-live=\"", integer_to_binary(Live), "\""],
        [header(Name, Path, [["<form method=\"post\" action=\"/logout\"><input type=\"hidden\" name=\"csrf\" value=\"", escape(Csrf), "\"><button>Sign out</button></form>"]
                             || SignedIn]),
         "<main id=\"main\" tabindex=\"-1\"><h1>", escape(Page:title()), "</h1>", said(Query),
         [part(Part) || Part <- hornbeam_dashboard_page:parts(Page, Context)], "</main>"]).

%% @doc A page that a button has made: it does not move.
-spec shown(Name :: atom(), Title :: iodata(), hornbeam_dashboard_html:html()) -> iodata().
shown(Name, Title, Html) ->
    document(escape(Title), [], [], [header(Name, none, []), "<main id=\"main\" tabindex=\"-1\"><h1>", escape(Title), "</h1>", Html, "</main>"]).

header(Name, Path, Tools) ->
    ["<a class=\"skip\" href=\"#main\">To the content</a><header><p class=\"brand\"><img src=\"/assets/icon.svg\" alt=\"\" width=\"24\" height=\"24\"> Hornbeam <b>",
         escape(Name), "</b></p>", menu(Path),
         "<div class=\"tools\"><span id=\"connection\" role=\"status\"></span><button id=\"pause\" type=\"button\" hidden>Pause</button>",
         Tools, "</div></header>"].

part({live, Id, Html}) -> ["<section id=\"", Id, "\" class=\"live\">", Html, "</section>"];
part({fixed, Make}) when is_function(Make) -> Make();
part({fixed, Html}) -> Html.

menu(Path) ->
    ["<nav aria-label=\"Pages\"><ul>",
     [["<li><a href=\"", At, "\"", [" aria-current=\"page\"" || At =:= Path], ">", escape(Page:title()), "</a></li>"] || {At, Page} <- hornbeam_dashboard_page:all()],
     "</ul></nav>"].

said(#{<<"did">> := Code}) ->
    case done(Code) of
        none -> [];
        Text -> ["<p class=\"said\" role=\"status\">", escape(Text), "</p>"]
    end;
said(_) -> [].

%% @doc What an action has done, by the code that stands in the address afterwards: nothing that a link brings is shown.
-spec done(Code :: binary()) -> string() | none.
done(<<"replace">>) -> "A new worker is being started; the old one finishes what it has once that is ready.";
done(<<"drain">>) -> "The worker takes no more requests; it ends when it has finished what it has, and another one is started then.";
done(<<"not_ready">>) -> "That worker takes no requests just now: it is starting, or it is leaving already.";
done(_) -> none.

%% @doc The form to sign in. Said: what was wrong before.
-spec sign_in(Said :: string() | none) -> iodata().
sign_in(Said) ->
    document("Sign in", [], [],
        ["<main id=\"main\" class=\"sign-in\"><h1>Hornbeam</h1>", [["<p class=\"said\" role=\"alert\">", escape(Said), "</p>"] || Said =/= none],
         "<form method=\"post\" action=\"/login\"><label for=\"secret\">Password or token</label>"
         "<input id=\"secret\" name=\"secret\" type=\"password\" autocomplete=\"current-password\" required autofocus><button>Sign in</button></form></main>"]).

-spec problem(Status :: pos_integer(), Text :: iodata()) -> iodata().
problem(Status, Text) ->
    document(integer_to_list(Status), [], [], ["<main id=\"main\"><h1>", integer_to_binary(Status), "</h1><p>", escape(Text), "</p><p><a href=\"/\">Overview</a></p></main>"]).

document(Title, Head, Attributes, Body) ->
    ["<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>", Title, "</title>"
     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">"
     "<link rel=\"icon\" href=\"/assets/icon.svg\"><link rel=\"stylesheet\" href=\"/assets/uplot/uPlot.min.css\">"
     "<link rel=\"stylesheet\" href=\"/assets/dashboard.css\">", Head, "</head><body", Attributes, ">", Body, "</body></html>"].
