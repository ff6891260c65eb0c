%%% `hornbeam stack', `profile', `memory', `requests': questions to a running server about its workers.
%%%
%%% Called by: hornbeam_cli. Calls: hornbeam_control_client, hornbeam_flame (what a profile's file is made of), hornbeam_option_text.
-module(hornbeam_diagnose_client).

-export([run/2]).

%% @doc Arguments: the worker, `--seconds N', `-o FILE' (of a profile: .svg, .html, .json for speedscope, anything else is collapsed stacks), and those of
%% hornbeam_control_client that say which server.
-spec run(Command :: string(), Arguments :: [string()]) -> {ok, unicode:chardata()} | {error, unicode:chardata()} | {usage, unicode:chardata()}.
run(Command, Arguments0) ->
    case flags(Arguments0, #{}, []) of
        {ok, #{output := _}, _} when Command =:= "requests" ->
            {usage, "requests writes no file"};
        {ok, #{seconds := _}, _} when Command =:= "requests"; Command =:= "stack" ->
            {usage, [Command, " takes no --seconds"]};
        {ok, Flags, Arguments} ->
            written(Command, Flags, hornbeam_control_client:run(Command, Arguments ++ [Seconds || #{seconds := Seconds} <- [Flags]]));
        Usage ->
            Usage
    end.

flags([Flag, Value | Rest], Flags, Left) when Flag =:= "--seconds" -> flags(Rest, Flags#{seconds => Value}, Left);
flags(["--seconds=" ++ Value | Rest], Flags, Left) -> flags(Rest, Flags#{seconds => Value}, Left);
flags([Flag, Value | Rest], Flags, Left) when Flag =:= "-o"; Flag =:= "--output" -> flags(Rest, Flags#{output => Value}, Left);
flags(["--output=" ++ Value | Rest], Flags, Left) -> flags(Rest, Flags#{output => Value}, Left);
flags([Flag], _Flags, _Left) when Flag =:= "--seconds"; Flag =:= "-o"; Flag =:= "--output" -> {usage, [Flag, " takes a value"]};
flags([Argument | Rest], Flags, Left) -> flags(Rest, Flags, [Argument | Left]);
flags([], Flags, Left) -> {ok, Flags, lists:reverse(Left)}.

written(Command, #{output := File}, {ok, Text}) ->
    Made = unicode:characters_to_binary(made(Command, filename:extension(File), unicode:characters_to_binary(Text))),
    case file:write_file(File, Made) of
        ok -> {ok, [first(Command, Text), "written to ", File, "\n"]};
        {error, Reason} -> {error, [File, ": ", file:format_error(Reason)]}
    end;
written(_Command, _Flags, Answer) ->
    Answer.

made("profile", ".svg", Text) -> hornbeam_flame:svg(hornbeam_flame:parse(Text), "hornbeam profile");
made("profile", ".html", Text) -> hornbeam_flame:html(hornbeam_flame:parse(Text), "hornbeam profile");
made("profile", ".json", Text) -> hornbeam_flame:speedscope(hornbeam_flame:parse(Text), "hornbeam profile");
made("profile", _, Text) -> lists:join("\n", [Line || Line <- string:split(Text, "\n", all), string:prefix(Line, "#") =:= nomatch]);
made(_Command, _, Text) -> Text.

%% What a profile says of itself.
first("profile", Text) -> [string:trim(hd(string:split(Text, "\n")), leading, "# "), "; "];
first(_, _) -> "".
